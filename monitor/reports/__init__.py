"""What the monitor makes of records and feedback: evidence for gates, and reports for people. One subject a module.

Rows are read in a transaction, with a limit; the statistics run on a thread, so that other requests are answered
meanwhile.
"""
