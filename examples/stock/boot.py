# Runs at every start: finish an interrupted update, choose the slot and mount it at /app.
import json

from ota import boot

with open("/layout.json") as f:
    layout = json.load(f)
with open("/lamp.pub.json") as f:
    layout["keys"] = [json.load(f)]
boot.run(layout)
