"""Surface: `burnish demo`, the whole service at work on a fresh machine."""
