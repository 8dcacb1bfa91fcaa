"""A fleet of simulated devices that update from a real server.

docs/fleet.md says how it is used and what it leaves out.

simulate.py  the run: start all devices, wait for the end, figures
device.py    one device: when it asks, what it fetches, what it does after a failure
offer.py     what all devices work out alike: manifest, choice, whether a package is genuine
client.py    requests over a device's link, and the connection that one leaves to the next
connection.py  one connection, by aiohttp
link.py      latency, bandwidth, loss and cuts of a device's network
clock.py     simulated time: waiting takes less than it says
tally.py     counts of requests, bytes, failures
"""
