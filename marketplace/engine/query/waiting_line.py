"""Who waits for a worker, and whose turn it is."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from threading import Condition, RLock


class Turn:
    """One query's place in the line, and how it alone is woken."""

    __slots__ = ("_called", "caller")

    def __init__(self, caller: str, called: Condition) -> None:
        self.caller = caller
        self._called = called

    def wait(self, seconds: float) -> None:
        """Let others have the guard until this turn is called, for at most so long."""
        self._called.wait(seconds)

    def call(self) -> None:
        """Wake who waits for this turn, to look again."""
        self._called.notify()


class WaitingLine:
    """Queries in the order they came, callers in turn: no number of one's queries delays another's.

    Whoever asks anything of it, or of a turn, or changes what decides whose turn it is, holds `guard`.
    """

    def __init__(self, most: int) -> None:
        self.guard = RLock()
        self._most = most
        self._turns: OrderedDict[str, deque[Turn]] = (
            OrderedDict()
        )  # who was served last stands last

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))

    def __iter__(self) -> Iterator[Turn]:
        return (turn for turns in self._turns.values() for turn in turns)

    @property
    def full(self) -> bool:
        """Whether nobody else may join."""
        return len(self) >= self._most

    def join(self, caller: str) -> Turn:
        """Stand behind the caller's own queries that wait."""
        turn = Turn(caller, Condition(self.guard))
        self._turns.setdefault(caller, deque()).append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Wait no more, served or not; the caller's next query goes behind those of the others."""
        waiting = self._turns.pop(turn.caller)
        waiting.remove(turn)
        if waiting:
            self._turns[turn.caller] = waiting

    def next(self, may: Callable[[str], bool], held: Callable[[str], int]) -> Turn | None:
        """The query whose turn it is: of the callers that `may` take a place, the one who has
        `held` fewest, and of several the one who was served longest ago."""
        callers = [caller for caller in self._turns if may(caller)]
        return self._turns[min(callers, key=held)][0] if callers else None
