"""What leaves the monitor: events for people by way of channels, records for programs as CloudEvents.

events.py       the table of events: each kept once, listed newest first
outbox.py       takes events, and notes with each the channels that are to tell of it
channels.py     the file that names the channels
deliveries.py   the table of what each channel has to tell, and what became of it
message.py      the words for one event, or for many
hooks.py        webhooks and Slack
mail.py         email
courier.py      one channel's loop: what, when, again, no more
cloudevents.py  a record as CloudEvents
forward.py      sends records to a sink, in order
lease.py        one process at a time does all this
metrics.py      what is counted
service.py      all of it as one task of the process
"""
