"""Order something: `python order.py bolt 3`. A program without an event loop."""

import sys

from stock import Order, Receipt

import majula


def order(client: majula.sync.Client, item: str, number: int) -> str:
    """Order, and say what became of it."""
    try:
        receipt = client.call("stock.order", Order(item, number), type=Receipt)
    except majula.MajulaError as error:
        return f"not ordered: {error}"
    return f"ordered {receipt.number} of {receipt.item}, {receipt.left} are left"


if __name__ == "__main__":
    with majula.sync.connect() as attached:
        print(order(attached, sys.argv[1], int(sys.argv[2])))
