"""Questions, subtitles and chat templates as token ids."""
