// The digests of OpenSSL's libcrypto, which libgrpc needs as well.
#pragma once

#include <openssl/evp.h>
