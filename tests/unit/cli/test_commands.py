"""Every declared operation with words for the command line is a command, and every command has its help."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from majula.api.cli.main import main
from majula.operations import Operation, all_operations
from majula.telemetry import operations as telemetry

DECLARED = [operation for operation in all_operations() if operation.cli]


def found(words: str) -> click.Command:
    """The command of these words; those that begin with a dash are its options."""
    command: click.Command = main
    for word in words.split():
        if word.startswith("-"):
            assert any(word in parameter.opts for parameter in command.params), f"{words}: no option {word}"
            continue
        assert isinstance(command, click.Group), f"{words}: nothing below {command.name}"
        below = command.get_command(click.Context(command), word)
        assert below is not None, f"{words}: no command {word}"
        command = below
    return command


def commands(command: click.Command, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below, by its words."""
    if names:
        yield " ".join(names), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *names, name)


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_every_operation_with_words_is_a_command(operation: Operation) -> None:
    assert found(operation.cli).callback is not None


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_says_what_it_does(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option) and not option.hidden), words


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_every_command_that_answers_can_answer_in_json(words: str) -> None:
    silent = {"completion", "config template", "demo", "init", "node run", "node stop"}
    options = {name for parameter in COMMANDS[words].params for name in parameter.opts}
    assert ("--json" in options) is (words not in silent)


def test_no_option_takes_a_secret() -> None:
    for words, command in COMMANDS.items():
        names = {name for parameter in command.params for name in parameter.opts}
        assert not names & {"--password", "--secret"}, words


def test_slip_of_the_pen_is_answered_by_the_nearest_word() -> None:
    result = CliRunner().invoke(main, ["statsu"])
    assert result.exit_code == 2
    assert "Did you mean `status`?" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell_names_the_program(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_MAJULA_COMPLETE" in result.output


def test_flight_that_could_not_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.api.cli.debug.asked", lambda *_: telemetry.FlightAnswer(seconds=0.0, events=(), file=""))
    for words in (["debug", "flight"], ["debug", "flight", "--json"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 1
        assert "majula events flight.failed" in result.stderr
