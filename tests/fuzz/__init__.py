"""Everything that reads what somebody else wrote, fed with what nobody would write.

    engine      inputs made of others, and what an input must not do: raise, take 100 ms, make the process grow
    decoders    the list: name -> `Decoder`
    wire        what clients and browsers send: frames, HTTP heads, WebSocket frames, JSON packages, values
    texts       what people write: files, scopes, tokens, addresses, parameters of requests
    cores       what decides by what was read: flows, a gateway of two clients, tables between actors, frames between actors
    guided      the same with atheris, which sees which input reaches new code
    corpus/     inputs that are tried first, a folder a decoder; every one that has broken something stays here

In a test run each decoder gets some seconds. For longer, by hand:

    python -m tests.fuzz http_head --minutes 10
    python -m tests.fuzz --list
"""
