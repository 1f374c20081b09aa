"""SIM_REACTION_DIFFUSION, a simulation whose output is a private dataset, and SIM_RENDER, which draws it."""
