"""Mark what waits for a transport that writes the method it is given."""

import pytest

only_posts = pytest.mark.xfail(strict=True, reason="the transport writes POST whatever `HttpRequest.method` says")
