"""File -> waveform: decoded, trimmed and brought to length; the only package that sees a decoder."""
