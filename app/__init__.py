"""vision-proxy: any picture in, what Claude reads best out, and what it cost."""
