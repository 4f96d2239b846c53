"""A service: what is in stock, and orders of it. `python stock.py` offers it at the node of this machine."""

import asyncio

import msgspec

import majula


class Order(msgspec.Struct):
    """Somebody wants `number` pieces of `item`."""

    item: str
    number: int


class Receipt(msgspec.Struct):
    """What became of an order."""

    item: str
    number: int
    left: int


class Stock:
    """Counts pieces. Whoever gives it a client offers it there."""

    def __init__(self, pieces: dict[str, int]) -> None:
        self.pieces = pieces

    async def offer(self, client: majula.Client) -> None:
        """Offer the functions and return when they can be called."""
        self._client = client
        await client.register("stock.order", self.order)
        await client.register("stock.count", self.count, idempotent=True)

    async def order(self, order: Order) -> Receipt:
        """Take pieces out of the stock."""
        left = self.pieces.get(order.item, 0) - order.number
        if left < 0:
            raise ValueError(f"{order.number} of {order.item} are not there")
        self.pieces[order.item] = left
        receipt = Receipt(order.item, order.number, left)
        await self._client.publish("stock.ordered", receipt)
        return receipt

    async def count(self, item: str) -> int:
        """How many pieces are there?"""
        return self.pieces.get(item, 0)


async def main() -> None:
    async with majula.connect(client_id="stock") as client:
        await Stock({"bolt": 100, "nut": 50}).offer(client)
        await asyncio.Event().wait()


if __name__ == "__main__":
    majula.run(main())
