"""The renderer behind `shapes_appearance` and `shapes_motion`: options in, MP4 files out.

One idea per file, in the order in which a video comes to be:

    options   what a user may choose
    plan      which videos there are, with their scene and their two labels
    motion    the object's state over time: every motion keeps the law of single frames
    sprite    what the object looks like: shape and texture
    scene     what a group of videos shares: background, palette, camera, light
    frames    all of this as pixels
    encode    pixels as H.264
    store     files in the cache folder, whole or not at all
"""
