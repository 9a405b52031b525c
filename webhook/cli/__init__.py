"""The command line. `commands` has one module for each command, `render` what they print; neither decides anything."""
