"""The radio location service: IQ windows of six receivers become positions with their ellipses."""
