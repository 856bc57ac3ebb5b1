"""The least time that a search can take: operations and bytes of its graphs over the peaks of datasheets."""
