"""Craft: the device `folder`: publishes image files in a folder, each with a manifest."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from burnish.burn.burner import (
    IMAGE_GONE,
    BurnJob,
    BurnOutcome,
    BurnResult,
    Supply,
    Tell,
    error_result,
    operator_error,
)
from burnish.burn.copying import copy, link
from burnish.burn.presence import free_space
from burnish.durable_files import sync
from burnish.errors import OperatorError, Unknown
from burnish.lifecycle import Custody
from burnish.media import ATTACHMENT

_STAGING = ".staging"
#: The suffixes that a label can have.
_LABELS = (".pdf", ".png", ".jpg", ".bmp")


class FolderBurner:
    """Writes to `<directory>/.staging`, publishes as `<directory>/<request>/VOLUME01.iso`.

    - `VOLUME01.json` is the manifest; the piece is complete once it exists.
    - `VOLUME01-COPY02.iso` is the second copy. Only the first copy shares its bytes with the image
      it was made from.
    - The suffix is that of the image: `.iso`, `.img`, `.zip` or `.eml`.
    - `VOLUME01.pdf` is the label, `VOLUME01-ADDRESS.pdf` the address label.
    - `VOLUME01/DICOM.ZIP` is an image to be attached to a message, which must have this name
      (PS3.11 L.3.2).
    """

    custody = Custody.AGAIN

    def __init__(self, name: str, *, directory: Path) -> None:
        self.name = name
        self._directory = directory

    def state(self) -> BurnResult:
        if not self._directory.is_dir():
            number = errno.ENOTDIR if self._directory.exists() else errno.ENOENT
            return self._result(OSError(number, os.strerror(number)))
        if not os.access(self._directory, os.W_OK | os.X_OK):
            return self._result(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        return BurnResult(BurnOutcome.READY)

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,  # noqa: ARG002  it does not work on its own
    ) -> BurnResult:
        staged = self._staged(job)
        try:
            image = os.open(job.image, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return IMAGE_GONE
        try:
            staged.parent.mkdir(exist_ok=True)
            with _new_file(staged) as part:
                _stage(job, image, part, progress)
        except OSError as error:
            return self._result(error)
        finally:
            os.close(image)
        return BurnResult(BurnOutcome.WRITTEN, f"written as {staged.name}")

    def written(self, job: BurnJob) -> Path:
        for path in (self._staged(job), _image_path(self._published(job))):
            if path.is_file():
                return path
        raise Unknown(f"{job.stem} of {job.request_name} has not been written")

    def publish(self, job: BurnJob) -> Path:
        staged, published = self.written(job), self._published(job)
        image = _image_path(published)
        manifest = {
            "image": str(image.relative_to(published.parent)),
            "size": staged.stat().st_size,
            "file_set_id": job.file_set_id,
            "file_set_uid": job.file_set_uid,
            "volume_number": job.volume_number,
            "volume_count": job.volume_count,
            "copy_number": job.copy_number,
            "copies": job.copies,
            **job.manifest,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        try:
            image.parent.mkdir(parents=True, exist_ok=True)
            self._check_free(published, job)
            sync(self._directory)
            staged.replace(image)
            if staged != image:
                # after a crash both may be names of one file, and then rename does nothing
                staged.unlink(missing_ok=True)
            for folder in {image.parent, published.parent}:
                sync(folder)
            for source, label in _labels(job, published):
                with _new_file(label) as part:
                    shutil.copyfile(source, part)
            with _new_file(published.with_suffix(".json")) as part:
                part.write_text(text, encoding="utf-8")
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error
        return image

    def discard(self, job: BurnJob) -> None:
        staged, published = self._staged(job), self._published(job)
        manifest, image = published.with_suffix(".json"), _image_path(published)
        labels = [published.with_suffix(suffix) for suffix in _LABELS]
        labels.append(_address(published))
        try:
            for path in (manifest, _part(manifest), *labels, image, staged, _part(staged)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error
        with contextlib.suppress(OSError):
            if image != published:
                image.parent.rmdir()
            published.parent.rmdir()

    def supplies(self) -> tuple[Supply, ...]:
        return free_space(self._directory)

    def tidy(self) -> None:
        staging = self._directory / _STAGING
        with contextlib.suppress(OSError):
            for path in staging.iterdir():
                path.unlink()

    def _check_free(self, published: Path, job: BurnJob) -> None:
        """Raises OperatorError if another File-set has been published under this name."""
        manifest = published.with_suffix(".json")
        if not manifest.exists():
            return
        with contextlib.suppress(ValueError, AttributeError):
            if json.loads(manifest.read_bytes()).get("file_set_uid") == job.file_set_uid:
                return
        raise OperatorError(
            f"device {self.name}: {published.parent.name} holds another File-set",
            hint=f"Move {published.parent} to another place. Writing then continues by itself.",
        )

    def _staged(self, job: BurnJob) -> Path:
        return self._directory / _STAGING / f"{job.checked_name()}-{job.stem}{job.image.suffix}"

    def _published(self, job: BurnJob) -> Path:
        return self._directory / job.checked_name() / f"{job.stem}{job.image.suffix}"

    def _result(self, error: OSError) -> BurnResult:
        return error_result(self.name, self._directory, error)


def _labels(job: BurnJob, published: Path) -> Iterator[tuple[Path, Path]]:
    """Each label of the job: its file, and where it is published."""
    if job.label:
        yield job.label, published.with_suffix(job.label.suffix)
    if job.address:
        yield job.address, _address(published)


def _address(published: Path) -> Path:
    return published.with_name(f"{published.stem}-ADDRESS.pdf")


def _image_path(published: Path) -> Path:
    """Where the image itself lies; the manifest always lies beside `published`."""
    if published.suffix == ".zip":
        return published.with_suffix("") / ATTACHMENT
    return published


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A path to write to. Without an exception it is made durable and renamed to `path`."""
    part = _part(path)
    part.unlink(missing_ok=True)
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _stage(job: BurnJob, image: int, part: Path, progress: Callable[[int], None] | None) -> None:
    """Links the image, or copies it if it cannot be linked or is a further copy."""
    size = os.fstat(image).st_size
    if not (job.copy_number == 1 and link(job.image, part)):
        target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            copy(image, target, size, progress)
        finally:
            os.close(target)
    if progress:
        progress(size)
