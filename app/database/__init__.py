"""The one database that every process and machine shares: its address, its connections, its tables, their history.

The only package that knows which databases there are; what the rows mean is the business of the capabilities.
"""
