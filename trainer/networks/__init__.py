"""The networks; those of GANs grow progressively (Karras et al. 2018, "Progressive Growing of GANs", §2–4, app. A)."""
