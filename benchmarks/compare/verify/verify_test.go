package verify_test

import "testing"

// BenchmarkVerify measures the whole check of a bare token: signature, iss, aud and
// exp, with the claims decoded into Go types. A row that is faster than raw does not
// verify the signature.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range algorithms {
		b.Run("alg="+alg+"/by=raw", func(b *testing.B) { measureRaw(b, issuerOf(b, alg)) })
		for _, p := range peers {
			b.Run("alg="+alg+"/by="+p.name, func(b *testing.B) {
				i := issuerOf(b, alg)
				measure(b, p.open(b, i), i.tokens(b, lap))
			})
		}
	}
}

func measureRaw(b *testing.B, i *issuer) {
	verify, parts, next := i.raw(b), i.signed(b, lap), 0
	b.ReportAllocs()
	for b.Loop() {
		if !verify(parts[next%lap]) {
			b.Fatal("the signature is wrong")
		}
		next++
	}
}

// measure offers good credentials in turn. If a row has renew, it is called before each
// lap, while the timer is stopped.
func measure(b *testing.B, r row, credentials []string) {
	b.Helper()
	prime(b, r, credentials)
	next := len(credentials)
	b.ReportAllocs()
	for b.Loop() {
		if next == len(credentials) {
			next = 0
			if r.renew != nil {
				b.StopTimer()
				r.renew()
				b.StartTimer()
			}
		}
		if _, err := r.serve(credentials[next]); err != nil {
			b.Fatal(err)
		}
		next++
	}
}

// prime makes a row fetch its keys and, if it remembers, see all credentials.
func prime(tb testing.TB, r row, credentials []string) {
	tb.Helper()
	if !r.remembers {
		credentials = credentials[:1]
	}
	for _, credential := range credentials {
		_, err := r.serve(credential)
		must(tb, err)
	}
}
