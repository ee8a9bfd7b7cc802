"""Our recipes, each with its data; what is heavy is imported when one of them is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddmi.recipes import recipe

if TYPE_CHECKING:
    from ddmi.experiment.config import Experiment

STORED: dict[str, Any] = {"source": "", "near": None}
"""ShapeNet's points are stored, and none can be had near the surface on demand."""

# --- images ------------------------------------------------------------------------------------------------------


@recipe(without=("recommended",))
def openmoji(preset: str) -> Experiment:
    """OpenMoji drawings (embedded; CC BY-SA 4.0), true at every resolution"""
    from ddmi.recipes.image import image_experiment

    return image_experiment(preset, source="openmoji")


@recipe(needs_data=True)
def images(preset: str) -> Experiment:
    """a folder of your images"""
    from ddmi.recipes.image import image_experiment

    return image_experiment(preset, source="", flip=True)


@recipe(needs_data=True)
def afhqv2_cat(preset: str) -> Experiment:
    """cats of AFHQ v2"""
    from ddmi.recipes.image import image_experiment

    return image_experiment(preset, source="", flip=True, classes=("cat",))


@recipe(needs_data=True)
def afhqv2_dog(preset: str) -> Experiment:
    """dogs of AFHQ v2"""
    from ddmi.recipes.image import PaperImages, image_experiment

    return image_experiment(preset, source="", flip=True, classes=("dog",), paper=PaperImages(items=4678))


@recipe(needs_data=True)
def celeba_hq(preset: str) -> Experiment:
    """CelebA-HQ, 27,000 faces and 3,000 held out"""
    from ddmi.recipes.image import CELEBA_HQ, image_experiment

    return image_experiment(preset, source="", flip=True, held_out=3000, paper=CELEBA_HQ)


@recipe(needs_data=True, without=("paper",))  # nobody says how the paper trains on it
def cifar10(preset: str) -> Experiment:
    """CIFAR-10, binary version"""
    from ddmi.recipes.image import image_experiment

    return image_experiment(preset, largest=32, source="", flip=True)


@recipe(needs_data=True, without=("paper",))  # ditto
def fashion_mnist(preset: str) -> Experiment:
    """Fashion-MNIST, ten classes of clothes by name"""
    from ddmi.recipes.image import image_experiment
    from ddmi_modalities.image.data.idx import FASHION

    return image_experiment(preset, largest=28, text=True, source="", flip=True, labels=FASHION)


@recipe(needs_data=True, without=("paper",))  # ditto
def lsun_churches(preset: str) -> Experiment:
    """LSUN churches, exported to a folder"""
    from ddmi.recipes.image import image_experiment

    return image_experiment(preset, largest=256, source="", flip=True)


# --- 3D shapes ---------------------------------------------------------------------------------------------------


@recipe(without=("recommended",))
def furniture(preset: str) -> Experiment:
    """3D chairs and tables (embedded, procedural) as occupancy functions"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(preset, source="furniture", hold_out="combinations")


@recipe(without=("recommended",))
def furniture_text(preset: str) -> Experiment:
    """3D chairs and tables from a sentence"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(preset, text=True, source="furniture", hold_out="combinations")


@recipe(needs_data=True)
def shapes(preset: str) -> Experiment:
    """your meshes, or ShapeNet of occupancy networks"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(preset, source="")


@recipe(
    needs_data=True,
    without=("paper",),
    preparation="ddmi_modalities.shape.prepare_sweethome:SweetHomePreparation",
)
def sweethome(preset: str) -> Experiment:
    """real furniture of a Debian package (CC BY 3.0, CC0), after `ddmi prepare sweethome`"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(preset, source="")


@recipe(needs_data=True)
def shapenet_chair(preset: str) -> Experiment:
    """chairs of ShapeNet, as occupancy networks distribute it"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(preset, items_of_paper=4744, **STORED, classes=("chair",))


@recipe(needs_data=True)
def shapenet_13(preset: str) -> Experiment:
    """the 13 classes of ShapeNet, likewise"""
    from ddmi.recipes.shape import shape_experiment
    from ddmi_modalities.shape.data.shapenet import CLASSES

    return shape_experiment(preset, **STORED, classes=tuple(CLASSES.values()))


@recipe(needs_data=True, without=("paper",))  # nobody says how the paper trains on it
def text2shape(preset: str) -> Experiment:
    """ShapeNet's chairs and tables from Text2Shape's sentences"""
    from ddmi.recipes.shape import shape_experiment

    return shape_experiment(
        preset, text=True, **STORED, classes=("chair", "table"), captions_file="captions.tablechair.csv"
    )


# --- radiance fields ---------------------------------------------------------------------------------------------


@recipe(without=("recommended",))
def turntable(preset: str) -> Experiment:
    """radiance fields of coloured furniture and cars (embedded, procedural)"""
    from ddmi.recipes.nerf import nerf_experiment

    return nerf_experiment(preset, source="turntable")


@recipe(needs_data=True)
def srn_cars(preset: str) -> Experiment:
    """radiance fields from your posed views, or SRN Cars"""
    from ddmi.recipes.nerf import nerf_experiment

    return nerf_experiment(preset, source="")


# --- videos ------------------------------------------------------------------------------------------------------


@recipe(without=("recommended",))
def moving_openmoji(preset: str) -> Experiment:
    """clips of moving OpenMoji drawings (embedded), true at every time"""
    from ddmi.recipes.video import video_experiment

    return video_experiment(preset, source="moving-openmoji")


@recipe(needs_data=True)
def sky_timelapse(preset: str) -> Experiment:
    """your videos: files, or folders of frames"""
    from ddmi.recipes.video import video_experiment

    return video_experiment(preset, source="")
