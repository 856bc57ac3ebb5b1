"""`latentline-export tune`: the settings of a package that detect best within a budget of milliseconds."""
