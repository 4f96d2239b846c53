"""The whole vocabulary between actors: typed, immutable msgspec structs, one module a room.

Every message class is a `Message` (module `base`): frozen, tagged by `room.Name`, encoded as msgpack. Actors know each other by
role and by these types, nothing else. Read `base`, then the module of the room you are in.
"""
