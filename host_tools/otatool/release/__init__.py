"""From an image to published files: keys, packages, manifests, uploads, a development server."""
