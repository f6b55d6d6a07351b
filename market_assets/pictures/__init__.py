"""Everything that draws. Pure: frames in, bytes of PNG out."""
