"""From folders, manifests and URLs to requests."""
