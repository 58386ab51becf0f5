package etclite

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/capi"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// An Option says how a store is opened.
type Option func(*openOptions)

type openOptions struct {
	capi          capi.OpenOptions
	progressEvery time.Duration
}

// Durability says what an acknowledged write survives.
type Durability = capi.Durability

const (
	// Synced is the default: what is acknowledged is on the disk, and survives a loss of power.
	Synced = capi.Synced
	// Written survives the process: what is acknowledged is with the operating system, and on the disk within 50 ms.
	Written = capi.Written
	// Buffered is in memory when it is acknowledged, and on the disk within 50 ms.
	Buffered = capi.Buffered
)

// WithDurability says what an acknowledged write survives. The default is Synced.
func WithDurability(d Durability) Option { return func(o *openOptions) { o.capi.Durability = d } }

// WithoutCreate opens only a store that exists.
func WithoutCreate() Option { return func(o *openOptions) { o.capi.NoCreate = true } }

// WithReadOnly opens the store for reading: nothing is written to it, and all writes are ErrReadOnly.
func WithReadOnly() Option { return func(o *openOptions) { o.capi.ReadOnly = true } }

// WithLockWait waits for a store that is open elsewhere: that long, or without end if it is negative. The default is not to wait.
// A part of a millisecond counts as one.
func WithLockWait(d time.Duration) Option {
	return func(o *openOptions) {
		if d < 0 {
			o.capi.LockWaitMs = -1
			return
		}
		o.capi.LockWaitMs = int64(d / time.Millisecond)
		if d%time.Millisecond > 0 {
			o.capi.LockWaitMs++
		}
	}
}

// WithRequestBytesMax bounds a request, in bytes. 0 is the library's default.
func WithRequestBytesMax(bytes int64) Option {
	return func(o *openOptions) { o.capi.RequestBytesMax = bytes }
}

// WithStoreBytesMax is the quota: live data and retained history, in bytes, above which growing writes are ErrNoSpace. 0 is none.
func WithStoreBytesMax(bytes int64) Option {
	return func(o *openOptions) { o.capi.StoreBytesMax = bytes }
}

// WithMemtableBytes says how many bytes of changes are held in memory before they become a file. 0 is the library's default.
func WithMemtableBytes(bytes int64) Option {
	return func(o *openOptions) { o.capi.MemtableBytes = bytes }
}

// WithTxnOpsMax bounds the operations of a txn. 0 is the library's default.
func WithTxnOpsMax(count uint32) Option { return func(o *openOptions) { o.capi.TxnOpsMax = count } }

// Config says which store New opens. Its fields have the names of etcd's client, so that a program keeps its configuration; those
// about connections are ignored, as there are none.
type Config struct {
	// Path is the directory of the store, if Endpoints is empty.
	Path string
	// Endpoints is one URL: file:///the/path, or memory: for a new store in memory.
	Endpoints []string `json:"endpoints"`
	// Context ends the client's watches and renewals when it ends, and calls answer with its error. The client must still be
	// closed.
	Context context.Context
	// Options are what Open takes.
	Options []Option

	// Username, Password and TLS must be empty: a store has no users, and no connection to be secured. New refuses what a program
	// would rely on in vain; who may open the store is for the permissions of its directory to say.
	Username string      `json:"username"`
	Password string      `json:"password"`
	TLS      *tls.Config `json:"-"`

	// Ignored.
	AutoSyncInterval      time.Duration `json:"auto-sync-interval"`
	DialTimeout           time.Duration `json:"dial-timeout"`
	DialKeepAliveTime     time.Duration `json:"dial-keep-alive-time"`
	DialKeepAliveTimeout  time.Duration `json:"dial-keep-alive-timeout"`
	MaxCallSendMsgSize    int
	MaxCallRecvMsgSize    int
	RejectOldCluster      bool          `json:"reject-old-cluster"`
	PermitWithoutStream   bool          `json:"permit-without-stream"`
	MaxUnaryRetries       uint          `json:"max-unary-retries"`
	BackoffWaitBetween    time.Duration `json:"backoff-wait-between"`
	BackoffJitterFraction float64       `json:"backoff-jitter-fraction"`
}

// New opens the store that a Config names.
func New(cfg Config) (*Client, error) {
	ctx := cfg.Context
	if ctx == nil {
		ctx = context.Background()
	}
	switch {
	case cfg.Username != "" || cfg.Password != "":
		return nil, fmt.Errorf("%w: a user, and a store has none", errConfig)
	case cfg.TLS != nil:
		return nil, fmt.Errorf("%w: TLS, and there is no connection to be secured", errConfig)
	case cfg.Path != "" && len(cfg.Endpoints) > 0:
		return nil, fmt.Errorf("%w: both a path and endpoints", errConfig)
	case cfg.Path != "":
		return openIn(ctx, cfg.Path, cfg.Options)
	case len(cfg.Endpoints) != 1:
		return nil, fmt.Errorf("%w: %d endpoints instead of one", errConfig, len(cfg.Endpoints))
	}
	endpoint := cfg.Endpoints[0]
	if endpoint == memoryEndpoint {
		return openMemory(ctx, cfg.Options)
	}
	path, err := endpointPath(endpoint)
	if err != nil {
		return nil, err
	}
	return openIn(ctx, path, cfg.Options)
}

// NewFromURL opens the store that a URL names, as one of Config.Endpoints.
func NewFromURL(url string) (*Client, error) { return New(Config{Endpoints: []string{url}}) }

// NewFromURLs is NewFromURL; there must be one URL.
func NewFromURLs(urls []string) (*Client, error) { return New(Config{Endpoints: urls}) }

var errConfig = fmt.Errorf("%w: config of a client", rpctypes.ErrInvalidArgument)

const memoryEndpoint = "memory:"

// endpointPath is the path in a URL file:///path.
func endpointPath(endpoint string) (string, error) {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("%w: endpoint %q: %w", errConfig, endpoint, err)
	}
	if parsed.Scheme != "file" || parsed.Host != "" && parsed.Host != "localhost" || !strings.HasPrefix(parsed.Path, "/") {
		return "", fmt.Errorf("%w: endpoint %q is not of the form file:///path", errConfig, endpoint)
	}
	return parsed.Path, nil
}

func fileEndpoint(path string) string {
	return (&url.URL{Scheme: "file", Path: path}).String()
}
