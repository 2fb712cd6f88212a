"""Do pruning and reweighting predict people on images that they have not seen?

``held-out PETERSON``: the sets of Peterson, Abbott & Griffiths (2018), as
`pipeline.judgments` lays them out, in VGG-19's last pooling layer, and the shipped 92
objects in VGG-16's, under Pearson's correlation and the cosine.

Images are dealt into `N_FOLDS` folds, `N_REPEATS` times. In each split a method sees
the *training* images, their activations and their judgments; it is scored by R2 (and r)
over the pairs of which *both* images are held out. Whatever a method counts or chooses,
PoZ included, it counts or chooses on training images, settings by inner folds over
these. `METHODS` are: all nodes; three fixed rules by PoZ; a size or a rule by PoZ, or
a size in random order, with the highest mean r in inner folds; supervised pruning
(nodes in the order of how much r falls on training images without them, Tarigopula et
al. 2023, as many as inner folds choose); and ridge regression of judgments on products
of activations (`pipeline.reweighting`), alone, after pruning, and shrunk towards equal
weights in place of zero.

Questions, written down before any result was seen, with what would count as an answer:

1. Does a fixed rule by PoZ predict held-out images better than all nodes? Does a chosen
   size or rule? *Better* is a change in R2 whose interval lies above zero, *worse* one
   below; over the sets, a conclusion needs three of the four under both similarities.
2. Does the choice of a size pay, against the fixed fifth? It pays where better.
3. Do judgments help more: is supervised pruning better than the chosen size, and is
   ridge better than all nodes?
4. Does pruning by PoZ help ridge: is ridge after pruning better than ridge alone?
5. How much does the leak pretend? Ridge with folds over *pairs*, whose held-out pairs
   are of images that training pairs show: its gain over all nodes beside that with
   folds over images; and both for judgments whose images were shuffled, where nothing
   can be learnt.
6. How conservative is the choice of a size? Its held-out gain, beside the gain of the
   chosen size on training images, the largest gain of any size on all images, and the
   held-out gain of the single size that is best in hindsight.

Intervals (95 %) are the outer ends of two, as neither alone is honest. The bootstrap
over images scores each split's predictions on resampled images, and averages: it knows
which images were drawn for testing, but takes the fitted models as given. The corrected
resampled t (Nadeau & Bengio 2003) varies training images as well, but from splits of
one sample. Network and raters are held fixed.
"""

SEED = 0
N_FOLDS, N_INNER, N_REPEATS = 3, 3, 5
SIMILARITIES = ("pearson", "cosine")
