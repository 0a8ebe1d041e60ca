"""SoX's effects on waveforms as published trainings used them: reverb, pitch, overdrive, speed, tone, fade.

Waveforms are (channels, samples) float32 in [-1, 1]; like the program, every effect clips what it gives to that range.
The algorithms are SoX's, written anew from their published descriptions and measured against the program's output.
"""
