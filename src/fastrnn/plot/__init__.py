"""Pictures, with matplotlib, which nothing else in fastrnn imports: ``pip install fastrnn[plot]``.

Attention as a model gives it is drawn by ``plot.attention(*translator.attention(text), axes)``.
"""

from fastrnn.plot.fonts import Fonts, fonts_for
from fastrnn.plot.heatmap import attention, save_attention

__all__ = ["Fonts", "attention", "fonts_for", "save_attention"]
