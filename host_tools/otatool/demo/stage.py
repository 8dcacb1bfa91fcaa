"""What the audience sees: the steps, and the board's console beside them."""

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from ..terminal.console import console as _console
from ..terminal.console import harmless

_RULE = 80  # maximum columns of the line above a part


class Stage:
    """Prints the story.

    Args:
        console: of rich.
        quiet: leaves the board's lines out.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False):
        self._console = console or _console()
        self._quiet = quiet
        self._line = bytearray()

    def act(self, title: str) -> None:
        """A new part begins."""
        self._console.print(
            Rule(title, align="left"), width=min(_RULE, self._console.width), soft_wrap=False
        )

    def step(self, text: str) -> None:
        """What is done next."""
        self._console.print(Text.assemble(("▶ ", "bold cyan"), text))

    def seen(self, text: str) -> None:
        """What was expected and has happened."""
        self._console.print(Text.assemble(("✔ ", "bold green"), text))

    def board(self, data: bytes) -> None:
        """Bytes of the board's console; whole lines are printed."""
        self._line += data
        while b"\n" in self._line:
            line, _, rest = bytes(self._line).partition(b"\n")
            self._line[:] = rest
            text = harmless(line.decode(errors="replace").strip("\r"), "dim")
            if text and not self._quiet:
                self._console.print(Text("  │ ", "dim") + text)
