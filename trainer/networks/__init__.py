"""Progressive generator and discriminator (Karras et al. 2018, "Progressive Growing of GANs", §2–4 and appendix A)."""
