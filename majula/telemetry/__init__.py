"""What an operator sees: events, figures, logs, what a role is doing just now. Its actor may die without effect on any client.

Read in this order:

    operations   what clients can ask
    events       every event, declared: one happening, one name
    lines        one line of the log, and how many there may be
    board        every role, from what the supervisors say
    clients      every client, from what the gateways tell
    flight       the flight recorder: the last minutes of events and figures
    levels       from which level each role logs
    figures, metrics   what each figure means; all of them in the Prometheus text format
    settings     of the actor
    reference    events and metrics as documents
"""
