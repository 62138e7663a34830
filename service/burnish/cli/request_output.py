"""Surface: requests, studies and patients as the command line prints them, in 80 columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from burnish.cli import output
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.register import RegisterEntry
    from burnish.request.study_listing import StudyHit
    from burnish.request.views import (
        EventLine,
        PatientLine,
        PieceLine,
        Replacement,
        RequestLine,
        RequestView,
        SeriesShare,
        VolumeView,
        WorkProgress,
    )

#: Replaced instances that `request show` names.
_REPLACED_SHOWN = 20
_INDENT = 9


def print_requests(lines: "Sequence[RequestLine]", *, patients: bool = True) -> None:
    """A list of requests: for each, what it is, whom it is for, and why it is as it is."""
    if not lines:
        typer.echo("no requests", err=True)
    for line in lines:
        print_request(line, patients=patients)


def print_request(line: "RequestLine", *, patients: bool = True) -> None:
    """One request of a list."""
    output.print_items(
        (
            line.short_id,
            f"{line.execution_status:<8}",
            str(line.group),
            output.format_time(line.since),
            f"{line.pieces_created}/{line.pieces} pieces" if line.pieces else "",
            "" if line.request_priority == "MED" else f"priority {line.request_priority}",
        ),
        hanging=_INDENT,
    )
    print_patients(line, patients=patients)
    output.print_sentence(line.reason, indent=_INDENT)
    if line.remedy:
        output.print_sentence(f"To do: {line.remedy}", indent=_INDENT)
    output.print_items((f"by {line.requested_by}", *remarks(line)), indent=_INDENT)


def print_open(lines: "Sequence[RequestLine]", *, patients: bool) -> None:
    """The requests that are open, each with its progress."""
    if not lines:
        typer.echo("no request is open")
    for line in lines:
        print_state(line)
        print_patients(line, patients=patients)


def print_state(line: "RequestLine") -> None:
    """The state of a request: progress, reason and remedy."""
    output.print_items(
        (
            line.short_id,
            str(line.execution_status),
            str(line.group),
            format_progress(line.progress),
            f"for {output.format_age(line.since)}",
        ),
        hanging=_INDENT,
    )
    output.print_sentence(line.reason, indent=_INDENT)
    if line.remedy:
        output.print_sentence(f"To do: {line.remedy}", indent=_INDENT)


def remarks(line: "RequestLine") -> list[str]:
    """The remarks on a request, in words."""
    return [remark for remark in line.remarks.split(", ") if remark]


def print_patients(line: "RequestLine", *, patients: bool) -> None:
    """Whom a request is for, or, without patients, only how much it has."""
    amount = (
        f"{quantity(line.instances, 'instance')} of {line.study_count} "
        f"{'study' if line.study_count == 1 else 'studies'} {'/'.join(line.modalities)}"
        if line.study_count
        else quantity(line.instances, "instance")
    )
    if not patients:
        output.print_items((amount.rstrip(),), indent=_INDENT)
        return
    for patient in line.patients:
        dates = dict.fromkeys(format_date(study.study_date) for study in patient.studies)
        output.print_items((*_patient(patient), *list(dates)[:3]), indent=_INDENT)
    more = line.patient_count - len(line.patients)
    others = f"and {quantity(more, 'more patient')}" if more else ""
    output.print_items((others, amount.rstrip()), indent=_INDENT)


def _patient(patient: "PatientLine") -> tuple[str, ...]:
    return format_name(patient.patient_name), f"ID {patient.patient_id}"


def format_name(patient_name: str) -> str:
    """A Patient's Name with all its groups, the components separated by commas or spaces."""
    groups = []
    for index, group in enumerate(patient_name.split("=")):
        components = [part.strip() for part in group.split("^")]
        separator = " " if index else ", "
        groups.append(separator.join(part for part in components if part))
    return " = ".join(group for group in groups if group) or "(no name)"


def format_date(value: str) -> str:
    """A date of DICOM as 2026-01-31; another value as it is."""
    is_date = len(value) == 8 and value.isdigit()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if is_date else value


def format_progress(progress: "WorkProgress") -> str:
    """How far a request is: step, share and time left, as far as they are known."""
    parts = [progress.step]
    if progress.fraction is not None:
        parts.append(f"{progress.fraction:.0%}")
    if progress.seconds_left is not None:
        parts.append(f"about {output.format_seconds(progress.seconds_left)} left")
    return ", ".join(parts)


# --- one request ---


def print_view(view: "RequestView", *, patients: bool = True) -> None:
    """Everything about one request."""
    _print_fields(view, patients=patients)
    if patients:
        _print_studies(view.line)
    _print_volumes(view.volumes, view.unplanned, patients=patients)
    if view.pieces:
        typer.echo("\npieces of media")
        for piece in view.pieces:
            _print_piece(piece, patients=patients)
    _print_replaced(view.replaced)
    if view.failure_groups:
        typer.echo("\nFailed SOP Sequence")
        for group in view.failure_groups:
            meaning = f"{group.failure_reason}: {group.meaning}"
            output.print_sentence(f"{quantity(group.instances, 'instance')}, {meaning}")
            if group.remedy:
                output.print_sentence(f"To do: {group.remedy}", indent=2)
            output.print_items(group.sop_instance_uids, indent=2)
    typer.echo("\nevents")
    for event in view.events:
        print_event(event)


def _print_fields(view: "RequestView", *, patients: bool) -> None:
    line = view.line
    fields: list[tuple[str, object]] = [
        ("request", line.short_id),
        ("SOP Instance UID", line.sop_instance_uid),
        ("Execution Status", f"{line.execution_status}  {line.execution_status_info}"),
        ("since", line.since),
        ("progress", format_progress(line.progress)),
        ("requested by", line.requested_by),
        ("instances", line.instances),
        ("missing", view.missing or None),
        ("copies", line.number_of_copies),
        ("pieces spoiled", line.pieces_ruined or None),
        ("priority", line.request_priority),
        ("device", line.device or ", ".join(line.devices)),
        ("held since", line.held_at),
        ("supplements", line.supplements),
        ("supplemented by", ", ".join(line.supplemented_by)),
        ("created", line.created_at),
        ("initiated", line.initiated_at),
        ("ended", line.ended_at),
    ]
    if patients:
        fields += [
            ("label text", view.label_text),
            ("label style", view.label_style_selection),
            ("bar code", view.barcode_value),
            ("disposition", view.media_disposition),
        ]
    output.print_fields((name, value) for name, value in fields if value not in (None, ""))
    output.print_sentence(line.reason)
    if line.remedy:
        output.print_sentence(f"To do: {line.remedy}")


def _print_studies(line: "RequestLine") -> None:
    for patient in line.patients:
        typer.echo("")
        output.print_items((*_patient(patient), format_date(patient.birth_date), patient.sex))
        for study in patient.studies:
            accession = study.accession_number
            output.print_items(
                (
                    format_date(study.study_date),
                    "/".join(study.modalities),
                    study.study_description,
                    f"Accession Number {accession}" if accession else "",
                ),
                indent=2,
                hanging=2,
            )


def _print_volumes(
    volumes: "Sequence[VolumeView]", unplanned: "Sequence[SeriesShare]", *, patients: bool
) -> None:
    if volumes:
        typer.echo("\nvolumes")
    for volume in volumes:
        output.print_items(
            (
                f"{volume.volume_number}/{volume.volume_count}",
                volume.file_set_id if patients else "",
                volume.medium,
                volume.media_application_profile,
                f"{output.format_size(volume.size)} of {output.format_size(volume.capacity)}",
                quantity(volume.instances, "instance"),
                f"{len(volume.series)} series",
            ),
            hanging=2,
        )
    if unplanned:
        size = output.format_size(sum(share.size for share in unplanned))
        typer.echo(f"\nnot planned yet: {len(unplanned)} series, {size}")


def _print_piece(piece: "PieceLine", *, patients: bool) -> None:
    output.print_items(
        (
            f"piece {piece.id}",
            f"volume {piece.volume_number}/{piece.volume_count}",
            f"copy {piece.copy_number}",
            piece.state,
            f"device {piece.device}" if piece.device else "",
            f"attempt {piece.attempts}" if piece.attempts > 1 else "",
            piece.file_set_id if patients else "",
            piece.register_name,
            piece.whereabouts if patients else "",
            "" if piece.created_at is None else output.format_time(piece.created_at),
        ),
        hanging=2,
    )
    output.print_sentence(piece.verified, indent=2)


def _print_replaced(replaced: "Sequence[Replacement]") -> None:
    if not replaced:
        return
    typer.echo("\nreceived again with newer content; these media have the older content")
    for line in replaced[:_REPLACED_SHOWN]:
        output.print_items(
            (
                output.format_time(line.replaced_at),
                f"{line.calling_ae_title}  {line.changed}",
                line.sop_instance_uid,
            ),
            hanging=2,
        )
    if len(replaced) > _REPLACED_SHOWN:
        typer.echo(f"… and {len(replaced) - _REPLACED_SHOWN} more: --json shows all")
    studies = sorted({line.study_instance_uid for line in replaced} - {""})
    if studies:
        options = " ".join(f"--study {uid}" for uid in studies)
        typer.echo("this puts the newer content on media:")
        typer.echo(f"  burnish request create {options} --initiate")


def print_event(event: "EventLine") -> None:
    """One event of a request."""
    change = f"{event.before} -> {event.after}" if event.after else ""
    output.print_items(
        (
            output.format_time(event.at),
            f"piece {event.piece_id}" if event.piece_id else "",
            event.event,
            change,
            f"by {event.actor}" if event.actor else "",
        ),
        hanging=2,
    )
    output.print_sentence(event.why, indent=2)


# --- media and studies ---


def print_medium(piece: "RegisterEntry", *, patients: bool = True) -> None:
    """One piece of media of the register."""
    output.print_items(
        (
            piece.name,
            piece.outcome,
            output.format_time(piece.ended_at),
            piece.file_set_id if patients else "",
            f"of {piece.request}",
            f"by {piece.device}" if piece.device else "",
        ),
        hanging=_INDENT,
    )
    if patients:
        for name, patient_id in piece.patients:
            output.print_items((format_name(name), f"ID {patient_id}"), indent=_INDENT)
        if piece.barcode_value:
            output.print_items((f"bar code {piece.barcode_value}",), indent=_INDENT)
        if piece.whereabouts not in ("", "made"):
            output.print_sentence(piece.whereabouts, indent=_INDENT)
    output.print_sentence(piece.why, indent=_INDENT)


def print_study(study: "StudyHit", *, patients: bool = True) -> None:
    """One study of a search or of the arrivals, with its requests."""
    if patients:
        output.print_items(
            (
                format_name(study.patient_name),
                f"ID {study.patient_id}",
                format_date(study.birth_date),
                study.sex,
            ),
            hanging=2,
        )
    accession = study.accession_number
    output.print_items(
        (
            format_date(study.study_date) if patients else "",
            "/".join(study.modalities),
            study.study_description if patients else "",
            f"Accession Number {accession}" if accession and patients else "",
            f"{quantity(study.instances, 'instance')} here",
        ),
        indent=2,
        hanging=2,
    )
    output.print_items((study.study_instance_uid,), indent=2)
    for request in study.requests:
        pieces = quantity(request.pieces_created, "piece")
        output.print_items((request.short_id, request.execution_status, f"{pieces} made"), indent=2)
