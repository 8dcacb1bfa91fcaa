// Run shared tests on the webassembly build of MicroPython: node run.mjs FOLDER test_name ...
// lib/ and tests/ of FOLDER are copied into its memory; what runs there is tests/tools/run.py.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadMicroPython } from "@micropython/micropython-webassembly-pyscript";

const [root, ...names] = process.argv.slice(2);
const skipped = ["host", "wasm", "__pycache__"];

const mp = await loadMicroPython({
    heapsize: 16 * 1024 * 1024, // bytes; the vectors in JSON need most of it
    linebuffer: true,
    stdout: (line) => console.log(line),
});

function copy(folder) {
    mp.FS.mkdir("/" + folder);
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
        const path = folder + "/" + entry.name;
        if (entry.isDirectory()) {
            if (!skipped.includes(entry.name)) copy(path);
        } else {
            mp.FS.writeFile("/" + path, readFileSync(join(root, path)));
        }
    }
}

try {
    mp.FS.rmdir("/lib"); // empty; would be in the way
} catch {
    // Not there in this build.
}
copy("lib");
copy("tests");
mp.globals.set("names", JSON.stringify(names));
try {
    mp.runPython(`
import json, sys
print("MicroPython", ".".join([str(n) for n in sys.implementation[1][:3]]), sys.maxsize)
# This build has modules of micropython-lib in front of those written in C, which are what
# a board has: faster, and with other exceptions (binascii).
for name in ("binascii", "collections", "io", "os", "time"):
    sys.modules[name] = __import__("u" + name)
sys.path.insert(0, "/tests/tools")
import run
status = run.main(json.loads(names))
`);
} catch (e) {
    // Uncaught, node would print the whole of the build's one-line source with it.
    console.log(`${e.name}: ${e.message}`);
    process.exit(1);
}
process.exit(mp.globals.get("status"));
