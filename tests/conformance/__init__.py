"""What HTTP/1.1 says, as bytes: requests to refuse, requests to take, and who is tested with them.

`requests_refused.ALL` and `requests_taken.ALL` are flat tuples; every case names the section or
the reason it stands on, and the threat that it is an instance of.
"""
