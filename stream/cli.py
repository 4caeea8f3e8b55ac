"""The `leeway` command. Exit codes: 0 success, 1 failure, 2 usage or configuration.

Imports are late, so that `leeway --help` is quick and a command loads only what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from stream.allocator import collect_rarely, keep_freed_memory, keep_no_arrays
from stream.cli_output import USAGE, Output, fail, load_settings, must_be_writable, say

app = typer.Typer(
    name="leeway",
    help="Finds drift in the predictions and outcomes of models in production.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
reference_app = typer.Typer(help="Build, accept and deploy references.")
app.add_typer(reference_app, name="reference")
config_app = typer.Typer(help="Change the configuration of a running app at a pane.")
app.add_typer(config_app, name="config")

ExistingFile = Annotated[Path, typer.Option(exists=True, dir_okay=False, readable=True)]
Files = Annotated[list[Path], typer.Option(exists=True, dir_okay=False, readable=True)]
OptionalFiles = Annotated[
    list[Path] | None, typer.Option(exists=True, dir_okay=False, readable=True)
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="leeway.yaml", exists=True, dir_okay=False, readable=True),
]
Bootstrap = Annotated[str | None, typer.Option(help="Broker, instead of kafka.bootstrap.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]

_MANY_FILES = ("--predictions", "--outcomes", "--offline")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("leeway"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(USAGE)


@app.command()
def worker(config: Config = None, bootstrap: Bootstrap = None) -> None:
    """Run a worker: topics in, alerts out."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.topology import run_worker

    keep_no_arrays()
    raise typer.Exit(run_worker(settings))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,  # the demo parses its own arguments, --help included
)
def demo(
    context: typer.Context,
    help_: Annotated[bool, typer.Option("--help", hidden=True)] = False,
) -> None:
    """Run the whole job here, on real data."""
    from stream.demo import main as run_demo

    raise typer.Exit(run_demo(["--help"] if help_ else context.args))


@app.command()
def backtest(
    alerts: Annotated[Path, typer.Option(help="Where to write the alerts (.ndjson).")],
    predictions: OptionalFiles = None,
    outcomes: OptionalFiles = None,
    config: Config = None,
    bootstrap: Annotated[
        str | None, typer.Option(help="Broker: the topics are the history, not files.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Record timestamp: RFC 3339 or epoch ms.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The same; exclusive.")] = None,
    from_checkpoint: Annotated[
        str | None, typer.Option(help="Begin at the last checkpoints written before this time.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Where to write the summary (.json).")
    ] = None,
    actions: Annotated[
        Path | None, typer.Option(help="Where to write the requests to act (.ndjson).")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Decisions of a live run to replay.", exists=True)
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Source partitions, instead of the configured count.")
    ] = None,
    timestamp_column: Annotated[
        str | None,
        typer.Option(help="Field with the record timestamp; without it no event is future."),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            help="Of `leeway reference build --of`: deployed with its version.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
) -> None:
    """Run the same code over a history: files, or with --bootstrap topics.

    Files are .ndjson, .ndjson.gz or .parquet; --predictions and --outcomes take several each.
    Topics are read in no group, with the decisions that the journal holds.
    """
    from stream.backtest import Wanted
    from stream.cli_backtest import Given
    from stream.cli_backtest import backtest as replay

    given = Given(
        predictions=predictions,
        outcomes=outcomes,
        bootstrap=bootstrap,
        from_=from_,
        to=to,
        from_checkpoint=from_checkpoint,
        journal=journal,
        timestamp_column=timestamp_column,
        references=reference,
    )
    overrides = {} if partitions is None else {"partitions": partitions}
    wanted = Wanted(alerts, summary, actions)
    code = replay(config, overrides | _broker(bootstrap), given, wanted)
    raise typer.Exit(code)


@app.command()
def drill(
    fault: Annotated[
        str,
        typer.Argument(help="KIND[:TARGET][,INTENSITY][,OPTION=VALUE]: scripts/simulate --list"),
    ],
    predictions: OptionalFiles = None,
    outcomes: OptionalFiles = None,
    config: Config = None,
    bootstrap: Annotated[str | None, typer.Option(help="Broker: its topics are replayed.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Of topics, record timestamp: RFC 3339 or epoch ms."),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The same; exclusive.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Event time at which the fault begins; else the last hour.")
    ] = None,
    lasting: Annotated[str, typer.Option("--for", help="How long is waited for it.")] = "1h",
    rate: Annotated[str, typer.Option(help="Of the simulator, without a history.")] = "10/min",
    seed: Annotated[int, typer.Option(help="The same.")] = 7,
    output: Format = Output.text,
) -> None:
    """Rehearse a failure: put a fault into a replay, and time alert, incident and action.

    The stream is the simulator's, or a history in files or on topics. Exit 1 if it is missed.
    """
    from stream.cli_drill import drill as rehearse

    rehearse(
        config,
        _broker(bootstrap),
        fault,
        at=at,
        lasting=lasting,
        rate=rate,
        seed=seed,
        predictions=predictions,
        outcomes=outcomes,
        from_=from_,
        to=to,
        output=output,
    )


@app.command()
def explain(
    alert_id: Annotated[str, typer.Argument(help="Its id, or how that begins.")],
    alerts: Annotated[
        Path | None,
        typer.Option(help="Alerts (.ndjson), instead of the topic.", exists=True, dir_okay=False),
    ] = None,
    predictions: OptionalFiles = None,
    outcomes: OptionalFiles = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Say why an alert fired, what it belongs to, and how to make it again.

    Its series is drawn from the files that it is of (--predictions, --outcomes), or the topics.
    """
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_explain import explain as show_why

    show_why(
        settings,
        alert_id,
        alerts=alerts,
        config=config,
        predictions=predictions or [],
        outcomes=outcomes or [],
    )


@app.command()
def skew(
    predictions: OptionalFiles = None,
    predictions_topic: Annotated[
        str | None, typer.Option(help="Of predictions, instead of files.")
    ] = None,
    offline: Annotated[
        list[Path] | None,
        typer.Option(
            help="Lines with prediction_id and features, as the training code computes them.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    offline_topic: Annotated[
        str | None, typer.Option(help="Of such records, instead of files.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Of the predictions topic, record timestamp: RFC 3339 or ms."),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The same; exclusive.")] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
    role: Annotated[str, typer.Option(help="Of the predictions to compare.")] = "champion",
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of values that may differ.")
    ] = 0.01,
    near: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Numbers apart by this part are equal.")
    ] = 1e-9,
    output: Format = Output.text,
) -> None:
    """Compare what a model was given with what is computed offline, value by value."""
    from stream.cli_skew import Given
    from stream.cli_skew import skew as show_skew

    given = Given(predictions, predictions_topic, offline, offline_topic, from_, to)
    show_skew(given, config, _broker(bootstrap), role=role, share=share, near=near, output=output)


@app.command()
def validate(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="leeway.yaml", exists=True, dir_okay=False)
    ] = Path("leeway.yaml"),
    features: Annotated[
        int, typer.Option(min=1, help="Features of a model, for what would be found.")
    ] = 10,
    output: Format = Output.text,
) -> None:
    """Check a configuration, all errors at once, and show what it would let be found.

    Each error comes with its path; each model needs an owner and a runbook.
    """
    settings = load_settings(config)
    if settings.has_no_owner:
        raise fail(f"{config}: models: required: name each model with its owner", USAGE)
    from stream.cli_validate import show

    show(settings, config, features, output)


@app.command()
def topics(
    config: Config = None,
    bootstrap: Bootstrap = None,
    apply: Annotated[bool, typer.Option("--apply", "--yes", help="Create the topics.")] = False,
    output: Format = Output.text,
) -> None:
    """Plan the topics; --apply creates them.

    Refuses to do anything while a topic has another partition count than it needs.
    """
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_kafka import topics as show_topics

    show_topics(settings, apply=apply, output=output)


@app.command()
def doctor(
    config: Config = None, bootstrap: Bootstrap = None, output: Format = Output.text
) -> None:
    """Check what the worker needs to run."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_kafka import doctor as show_checks

    show_checks(settings, output)


@app.command()
def journal(config: Config = None, bootstrap: Bootstrap = None) -> None:
    """Print the journal as lines of JSON, for `leeway backtest --journal`."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_kafka import journal as show_journal

    show_journal(settings)


@app.command()
def schema(
    name: Annotated[str | None, typer.Argument(help="One schema; without it their names.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write them all to this directory.")] = None,
) -> None:
    """Print a JSON Schema of the contract."""
    from stream import schemas

    if write is not None:
        for path in schemas.write(write):
            say(f"wrote {path}")
    elif name is None:
        print("\n".join(schemas.NAMES))
    elif name in schemas.NAMES:
        print(schemas.schema_text(name), end="")
    else:
        raise fail(f"no schema {name}: one of {', '.join(schemas.NAMES)}", USAGE)


@config_app.command("activate")
def config_activate(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="leeway.yaml", exists=True, dir_okay=False)
    ],
    at: Annotated[
        str | None,
        typer.Option(help="Event time: RFC 3339, or epoch milliseconds; now, if not given."),
    ] = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Announce a configuration: it comes into force at a pane, in every worker at the same one."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_config import activate

    activate(settings, at)


@config_app.command("show")
def config_show(
    config: Config = None, bootstrap: Bootstrap = None, output: Format = Output.text
) -> None:
    """The configurations of a running app: the first, those announced, and from when on each is in
    force."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_config import show

    show(settings, output)


@reference_app.command("build")
def reference_build(
    predictions: Files,
    references: Annotated[Path, typer.Option(help="Where to write the references (.ndjson).")],
    outcomes: Annotated[list[Path] | None, typer.Option(exists=True, dir_okay=False)] = None,
    of: Annotated[
        str | None,
        typer.Option(help="What the files hold (training, say): all of it, to be deployed."),
    ] = None,
    config: Config = None,
) -> None:
    """Seal references over files of events, as a worker would have; with --of, one of all rows of
    a version, in whatever order, for `leeway reference deploy`."""
    settings = load_settings(config)
    must_be_writable(references)
    if of is not None:
        from stream.reference_files import build

        raise typer.Exit(build(settings, predictions, outcomes or [], source=of, out=references))
    from stream.backtest import build_references

    raise typer.Exit(
        build_references(
            settings, predictions=predictions, outcomes=outcomes or [], references=references
        )
    )


@reference_app.command("accept")
def reference_accept(
    model: Annotated[str, typer.Argument(help="model_id")],
    version: Annotated[str | None, typer.Argument(help="All versions, if not given.")] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Event time: RFC 3339, or epoch milliseconds; now, if not given."),
    ] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Accept how a model is now: a new reference is gathered, what fires against the old one
    ends."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_config import accept

    accept(settings, model, version, at)


@reference_app.command("deploy")
def reference_deploy(
    references: Annotated[
        Path,
        typer.Argument(help="Of `leeway reference build --of`.", exists=True, dir_okay=False),
    ],
    model: Annotated[str, typer.Argument(help="model_id")],
    version: Annotated[str, typer.Argument(help="model_version")],
    at: Annotated[
        str | None,
        typer.Option(
            help="Event time: RFC 3339, or epoch ms; if not given, as soon as it answers."
        ),
    ] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Give a version its reference: it is compared with that from its first prediction on."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_config import deploy

    deploy(settings, references, model, version, at)


@app.command()
def acknowledge(
    what: Annotated[str, typer.Argument(help="Id of an alert, or its fingerprint.")],
    by: Annotated[str, typer.Option(help="Who takes it in hand.")],
    note: Annotated[str, typer.Option(help="What is known, or being done.")] = "",
    incident: Annotated[
        bool, typer.Option("--incident", help="The id is of an incident: of all its alerts.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="Event time: RFC 3339, or epoch milliseconds; at once, if not given."),
    ] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Take an alert in hand: it is not escalated."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_notices import acknowledge as announce

    announce(settings, what, by=by, note=note, of_incident=incident, at=at)


@app.command()
def retrained(
    model: Annotated[str, typer.Argument(help="model_id")],
    version: Annotated[str | None, typer.Argument(help="All versions, if not given.")] = None,
    by: Annotated[str, typer.Option(help="Who or what has retrained it.")] = "",
    note: Annotated[str, typer.Option(help="With what, where.")] = "",
    at: Annotated[
        str | None,
        typer.Option(help="Event time: RFC 3339, or epoch milliseconds; at once, if not given."),
    ] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Say that a model was retrained: what fired before is answered, and its age begins anew."""
    settings = load_settings(config, _broker(bootstrap))
    from stream.cli_notices import retrained as announce

    announce(settings, model, version, by=by, note=note, at=at)


def _broker(bootstrap: str | None) -> dict[str, Any]:
    return {} if bootstrap is None else {"kafka": {"bootstrap": bootstrap}}


def spread(arguments: Sequence[str]) -> list[str]:
    """`--predictions a b` as `--predictions a --predictions b`: the parser takes one value each.

    >>> spread(["backtest", "--predictions", "a", "b", "-c", "x"])
    ['backtest', '--predictions', 'a', '--predictions', 'b', '-c', 'x']
    """
    spread_out: list[str] = []
    flag: str | None = None
    has_value = False
    for argument in arguments:
        if argument.startswith("-"):
            name, equals, _value = argument.partition("=")
            flag = name if name in _MANY_FILES else None
            has_value = bool(equals)
        elif flag is not None:
            if has_value:
                spread_out.append(flag)
            has_value = True
        spread_out.append(argument)
    return spread_out


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: runs the command and exits with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    keep_freed_memory()
    collect_rarely()
    try:
        code = app(spread(given), prog_name="leeway", standalone_mode=False)
    except typer.TyperException as error:
        say(" ".join(error.format_message().split()))
        code = error.exit_code
    sys.exit(code)
