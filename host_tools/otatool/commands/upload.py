"""otatool upload: copy a published folder to where devices get it."""

import argparse

from ..release import destination, upload
from ._upload import add_upload, put_done


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.description = (
        "Copy the packages that the manifest in FOLDER names, then the manifest. "
        "After a failure, run it again to resume. Nothing is deleted."
    )
    p.add_argument("folder", help="folder that otatool publish writes")
    p.add_argument("to", metavar="URL", help="s3://bucket/prefix, gs://, sftp://, a folder, ...")
    p.add_argument(
        "--force", action="store_true", help="replace the manifest there, whatever it is"
    )
    add_upload(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Upload and print what was written."""
    done = upload.upload(
        destination.locate(args.to),
        upload.content(args.folder),
        args.cache_control,
        args.dry_run,
        args.force,
    )
    put_done(done, args.dry_run)
