"""A process full of clients of one side; `throughput.py` starts it.

    python load.py '{"side": "HTTP", "clients": [{"sql": ..., "url": ..., "token": ...}, ...]}'

It asks each client's SQL once and prints the results. Then each line of its input says for how many
seconds all clients are to ask at the same time, and it prints how many answers came a second.
"""

import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import pyarrow as pa
from sides import HTTP, IN_PROCESS, connect_flight, open_duckdb

from marketplace.client import connect

Ask = Callable[[], pa.Table]


def main() -> None:
    """Build the clients, warm them up, then ask whenever told to."""
    order = json.loads(sys.argv[1])
    asks = _clients(order["side"], order["clients"])
    _print([str(ask().to_pylist()) for ask in asks])
    for line in sys.stdin:
        _print(_per_second(asks, float(line)))


def _print(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def _clients(side: str, asked: list[dict[str, str]]) -> list[Ask]:
    if side == IN_PROCESS:
        instance = open_duckdb()
        return [partial(_ask_locally, instance.cursor(), each["sql"]) for each in asked]
    if side == HTTP:
        clients = [connect(each["url"], token=each["token"]) for each in asked]
        return [
            partial(_ask_http, client, each["sql"])
            for client, each in zip(clients, asked, strict=True)
        ]
    return [
        partial(_ask_flight, connect_flight(each["url"], each["token"]), each["sql"])
        for each in asked
    ]


def _ask_locally(cursor: Any, sql: str) -> pa.Table:
    return cursor.sql(sql).to_arrow_table()


def _ask_http(client: Any, sql: str) -> pa.Table:
    return client.query(sql).to_arrow()


def _ask_flight(connection: Any, sql: str) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table()


def _per_second(asks: list[Ask], seconds: float) -> float:
    """Answers a second until the last client has its last one. A client's error ends the run."""
    answered = [0] * len(asks)
    until = perf_counter() + seconds
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            while perf_counter() < until:
                asks[number]()
                answered[number] += 1
        except BaseException as error:  # noqa: BLE001 - a thread's error is told by the main one
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(asks))]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(answered) / (perf_counter() - began)


if __name__ == "__main__":
    main()
