"""What the monitor's reports answer, as whoever asks gets it (`monitor.client`): values, and nothing that makes them.

They need the standard library only, and can be written as JSON: what is not known, and an interval's end where there is
no limit, is None.
"""
