package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// The payload of RFC 7515 appendix A: iss joe, exp 1300819380.
const rfcPayload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

func rfcRSA(t *testing.T) crypto.PublicKey {
	n := unpart(t, "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}

func rfcEC(t *testing.T, curve elliptic.Curve, x, y string) crypto.PublicKey {
	point := slices.Concat([]byte{4}, unpart(t, x), unpart(t, y)) // SEC 1 §2.3.3
	return must(ecdsa.ParseUncompressedPublicKey(curve, point))
}

func TestRFCVectors(t *testing.T) {
	for _, test := range []struct {
		name, token string
		key         crypto.PublicKey
	}{
		{
			"RFC 7515 A.2, RS256",
			"eyJhbGciOiJSUzI1NiJ9." + rfcPayload + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
			rfcRSA(t),
		},
		{
			"RFC 7515 A.3, ES256",
			"eyJhbGciOiJFUzI1NiJ9." + rfcPayload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			rfcEC(t, elliptic.P256(), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
		},
		{
			"RFC 7515 A.4, ES512",
			"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
			rfcEC(t, elliptic.P521(), "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk", "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"),
		},
		{
			"RFC 8037 A.4, EdDSA",
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			ed25519.PublicKey(unpart(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
		},
	} {
		token := mustParse(t, test.token)
		if err := token.Verify(test.key); err != nil {
			t.Errorf("%s: got %v; want none", test.name, err)
		}
		token.SigningInput += "A"
		if err := token.Verify(test.key); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s, changed: got %v; want %v", test.name, err, jose.ErrSignature)
		}
	}
}

func TestRFCPayload(t *testing.T) {
	claims, err := jose.ReadClaims(string(unpart(t, rfcPayload)))
	if err != nil || claims.Issuer != "joe" || claims.Expiry.Unix() != 1300819380 || claims.Fault != "" {
		t.Errorf("got %+v, %v; want iss joe and exp 1300819380", claims, err)
	}
}

func TestRFCVectorsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, token string
		want        error // of Parse
	}{
		{"RFC 7515 A.5, none", "eyJhbGciOiJub25lIn0." + rfcPayload + ".", nil},
		{"RFC 7515 A.1, HS256", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + rfcPayload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", nil},
		{"RFC 7515 E, crit", "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.", jose.ErrType},
		{"RFC 7797 §4.2, b64", "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY", jose.ErrType},
		{"RFC 7515 A.7, flattened", `{"payload":"` + rfcPayload + `","protected":"eyJhbGciOiJFUzI1NiJ9","signature":"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"}`, jose.ErrNotJWT},
	} {
		token, err := jose.Parse(test.token)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v; want %v", test.name, err, test.want)
		}
		for _, a := range algorithms() {
			if err == nil && token.Verify(a.key.Public()) == nil {
				t.Errorf("%s: got verified under a key of %s; want an error", test.name, a.name)
			}
		}
	}
}
