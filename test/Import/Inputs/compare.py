"""How far rows of numbers are from what they should be."""
import math


def distance(got, want):
    """The largest difference; infinite where lengths differ, nothing is there, or a difference is no number (max would pass over it)."""
    differences = [abs(a - b) for a, b in zip(got, want)]
    if len(got) != len(want) or not differences or any(d != d for d in differences):
        return math.inf
    return max(differences)
