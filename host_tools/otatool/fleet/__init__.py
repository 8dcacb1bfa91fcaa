"""A fleet of simulated devices that update from a real server.

docs/fleet.md says how it is used and what it leaves out.

simulate.py  the run: start all devices, wait for the end, figures
device.py    one device: when it asks, which server, what it does after a failure
offer.py     what all devices work out alike: manifest and choice
flash.py     what of a package is kept when an update fails
network.py   where the device's own HTTP client meets asyncio
stream.py    one connection, as that client sees it; incoming.py: bytes that it did not take yet
names.py     addresses of servers
requests.py  what is asked, by kind, and what fails
link.py      latency, bandwidth, loss and cuts of a device's network
clock.py     simulated time: waiting takes less than it says
tally.py     counts of requests, bytes, failures
table.py     the figures for people
"""
