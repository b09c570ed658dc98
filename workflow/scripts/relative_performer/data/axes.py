"""The axes along which images are shifted."""

# name in command lines → dimensions of images (B, h, w, c)
AXES = {"columns": (2,), "rows": (1,), "both": (1, 2)}
