"""Sign-in through one OpenID Connect provider, by django-allauth: only its flow is used, none of its pages.

configuration  what the operator sets in the environment
provider       the requests to the provider, and the checks of what it says
people         whose account it is: known, linked, new, or refused in words
views          the button, the way back, and signing out there too
"""
