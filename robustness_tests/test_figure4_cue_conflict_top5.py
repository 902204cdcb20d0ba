"""Figure 4: the unrestricted top-5 predictions for cue-conflict images.

The paper shows those of 32x48d_wsl for some stimuli, with matches of shape and texture marked by hand. What can be
asked of any classifier is whether textures match more often than shapes among the top 5 of all classes; a class matches
the category that it belongs to (Geirhos et al., 2019).
"""

import pytest

from harness.studies.quantities import SHAPE_IN_TOP5, TEXTURE_IN_TOP5
from harness.verdicts.rules import higher

pytestmark = pytest.mark.needs("cue-conflict")


@pytest.mark.claim("C19")
@pytest.mark.weakness("it takes stimuli for their shapes rather than for their textures")
@pytest.mark.parametrize("pair", [pytest.param((TEXTURE_IN_TOP5, SHAPE_IN_TOP5), id="top5")])
def test_the_top5_match_textures_more_often_than_shapes(study, pair, verdict):
    """C19: more stimuli have their texture than their shape among 32x48d_wsl's unrestricted top 5."""
    assert verdict(higher(study.across(*pair, study.widest())))
