"""Noise, clicks and harmonics that resemble ten everyday sounds; the same generator gives the same sound."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

RATE = 44100  # Hz
Sound = Callable[[Generator, int], np.ndarray]


def rain(random: Generator, samples: int) -> np.ndarray:
    """A bright, even hiss with many small drops, (samples,)."""
    hiss = _noise(random, samples, lambda hz: np.clip(hz / 1500, 0, 1) / (1 + (hz / 9000) ** 2))
    return hiss + 0.5 * _clicks(random, samples, 60.0, (1500.0, 6000.0), 0.004)


def waves(random: Generator, samples: int) -> np.ndarray:
    """Soft noise that swells every six to nine seconds, (samples,)."""
    seconds = _seconds(samples)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * (seconds / random.uniform(6, 9) + random.random()))
    low = _noise(random, samples, lambda hz: 1 / (1 + (hz / 300) ** 1.2))
    high = _noise(random, samples, lambda hz: np.clip(hz / 800, 0, 1) / (1 + (hz / 4000) ** 2))
    return (0.2 + 0.8 * swell) * low + swell**3 * high


def ticking(random: Generator, samples: int) -> np.ndarray:
    """Two kinds of tick in turn, two to five a second, over nearly nothing, (samples,)."""
    made = 0.002 * random.standard_normal(samples)
    step, pitch = RATE / random.uniform(2, 5), random.uniform(2500, 4500)
    for number, start in enumerate(np.arange(random.uniform(0, step / 4), samples, step)):
        _add(made, int(start), _ring(random, pitch * (1 + 0.15 * (number % 2)), 0.01))
    return made


def helicopter(random: Generator, samples: int) -> np.ndarray:
    """Broad low noise in thuds, eleven to sixteen a second, over the steady rush of a turbine, (samples,)."""
    beat = np.sin(np.pi * random.uniform(11, 16) * _seconds(samples)) ** 4
    thuds = _noise(random, samples, lambda hz: 1 / (1 + (hz / 200) ** 1.5))
    rush = _noise(random, samples, lambda hz: np.clip(hz / 200, 0, 1) / (1 + (hz / 800) ** 1.5))
    return (0.25 + beat) * thuds + 0.04 * rush


def chainsaw(random: Generator, samples: int) -> np.ndarray:
    """A two-stroke engine under changing load: many harmonics and their noise, (samples,)."""
    seconds = _seconds(samples)
    load = np.sin(2 * np.pi * (random.uniform(0.2, 0.5) * seconds + random.random()))
    engine = _harmonics(random.uniform(90, 130) * (1 + 0.12 * load), tuple(1 / k**0.6 for k in range(1, 40)))
    rasp = _noise(random, samples, lambda hz: np.clip(hz / 1000, 0, 1) / (1 + (hz / 6000) ** 2))
    return engine / np.abs(engine).max(initial=1e-9) + 0.25 * (1 + 0.5 * load) * rasp


def crackling(random: Generator, samples: int) -> np.ndarray:
    """Irregular snaps of very different strength over a faint rumble, (samples,)."""
    rumble = _noise(random, samples, lambda hz: 1 / (1 + (hz / 200) ** 2))
    return 0.04 * rumble + _clicks(random, samples, 14.0, (1000.0, 9000.0), 0.003)


def barks(random: Generator, samples: int) -> np.ndarray:
    """Short hoarse calls that fall in pitch, with pauses, (samples,)."""
    pitch = random.uniform(350, 500)
    return _calls(random, samples, (0.09, 0.16), (0.25, 0.9), lambda x: pitch * (1.3 - 0.7 * x), roughness=0.5)


def cry(random: Generator, samples: int) -> np.ndarray:
    """Long wails that rise and fall like a siren, (samples,)."""
    pitch = random.uniform(380, 520)
    return _calls(random, samples, (0.7, 1.3), (0.2, 0.5), lambda x: pitch * (1 + 0.25 * np.sin(np.pi * x)), 0.05)


def rooster(random: Generator, samples: int) -> np.ndarray:
    """Crows that climb in steps and end on a long falling note, (samples,)."""
    pitch = random.uniform(600, 750)
    steps = np.array([0.0, 0.12, 0.14, 0.3, 0.34, 0.5, 0.85, 1.0])
    height = np.array([0.8, 0.8, 1.2, 1.2, 1.0, 1.5, 1.4, 0.8])
    return _calls(random, samples, (1.4, 2.0), (0.8, 2.0), lambda x: pitch * np.interp(x, steps, height), 0.6)


def sneezes(random: Generator, samples: int) -> np.ndarray:
    """A drawn breath and a burst of air, now and again, (samples,)."""
    made, start = 0.003 * random.standard_normal(samples), random.uniform(0, 0.1) * RATE
    while start < samples:
        breath = _noise(random, int(0.35 * RATE), lambda hz: np.clip(hz / 1000, 0, 1) / (1 + (hz / 3000) ** 2))
        burst = _noise(random, int(0.4 * RATE), lambda hz: np.clip(hz / 500, 0, 1) / (1 + (hz / 5000) ** 1.5))
        breath *= 0.12 * np.linspace(0, 1, len(breath)) ** 2
        burst *= np.exp(-_seconds(len(burst)) / 0.08)
        _add(made, int(start), np.concatenate([breath, burst]))
        start += random.uniform(1.5, 3.0) * RATE
    return made


# Label -> sound; the labels are those of the clips that the shipped weights were trained on.
SOUNDS: dict[str, Sound] = {
    "Baby_cry": cry,
    "Chainsaw": chainsaw,
    "Clock_tick": ticking,
    "Dog_bark": barks,
    "Fire_crackling": crackling,
    "Helicopter": helicopter,
    "Person_sneeze": sneezes,
    "Rain": rain,
    "Rooster": rooster,
    "Sea_waves": waves,
}


def _seconds(samples: int) -> np.ndarray:
    return np.arange(samples) / RATE


def _noise(random: Generator, samples: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise of the colour that gain gives each frequency in Hz, peak 1."""
    size = 1 << (samples - 1).bit_length()  # powers of two transform fast; a prime number of samples does not
    spectrum = np.fft.rfft(random.standard_normal(size))
    shaped = np.fft.irfft(spectrum * gain(np.fft.rfftfreq(size, 1 / RATE)), size)[:samples]
    return shaped / np.abs(shaped).max(initial=1e-9)


def _harmonics(hz: np.ndarray, strengths: tuple[float, ...]) -> np.ndarray:
    """A tone whose pitch runs along hz, (samples,), with a strength for each harmonic below 16 kHz."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    audible = [(k, s) for k, s in enumerate(strengths, 1) if k * hz.max(initial=0.0) < 16000]
    return sum((s * np.sin(k * phase) for k, s in audible), np.zeros(len(hz)))


def _ring(random: Generator, hz: float, decay: float) -> np.ndarray:
    """A click that rings at hz and dies away in decay seconds."""
    seconds = _seconds(int(8 * decay * RATE))
    return np.sin(2 * np.pi * hz * seconds + random.random()) * np.exp(-seconds / decay)


def _clicks(random: Generator, samples: int, per_second: float, hz: tuple[float, float], decay: float) -> np.ndarray:
    made = np.zeros(samples)
    count = max(1, random.poisson(per_second * samples / RATE))
    for start in random.integers(0, samples, count):
        _add(made, int(start), random.random() ** 3 * _ring(random, random.uniform(*hz), decay))
    return made


def _calls(
    random: Generator,
    samples: int,
    length: tuple[float, float],
    pause: tuple[float, float],
    pitch: Callable[[np.ndarray], np.ndarray],
    roughness: float,
) -> np.ndarray:
    """Calls of a voice: harmonics under two formants, breath, and rests between; times in seconds."""
    made, start = 0.002 * random.standard_normal(samples), random.uniform(0, 0.1) * RATE
    while start < samples:
        count = int(random.uniform(*length) * RATE)
        way = np.linspace(0, 1, count)
        hz = pitch(way) * (1 + 0.015 * np.sin(2 * np.pi * 6 * _seconds(count)))
        middle = float(hz.mean())
        strengths = tuple(
            1 / (1 + ((k * middle - 1100) / 500) ** 2) + 0.5 / (1 + ((k * middle - 2900) / 700) ** 2)
            for k in range(1, 16)
        )
        breath = _noise(random, count, lambda hz: np.clip(hz / 600, 0, 1) / (1 + (hz / 3500) ** 2))
        call = (_harmonics(hz, strengths) + roughness * breath) * np.sin(np.pi * way) ** 0.5
        _add(made, int(start), call)
        start += count + random.uniform(*pause) * RATE
    return made


def _add(whole: np.ndarray, start: int, piece: np.ndarray) -> None:
    """Lay piece over whole from start on, as far as there is room."""
    room = whole[start : start + len(piece)]
    room += piece[: len(room)]
