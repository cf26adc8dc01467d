// Serves the stargz snapshotter to containerd, as containerd-stargz-grpc does: Debian has that program's library, but not the program.
//
// usage: serve-stargz SOCKET ROOT
//
// A layer is mounted by FUSE and read by ranges from the registry as its files are: nothing is fetched ahead, and a table of
// contents that no annotation vouches for is refused. Registries on loopback are asked over plain HTTP. Ends on SIGTERM, with
// everything unmounted.
//
// It does without the library's package "service", which needs the Kubernetes packages that Debian does not have.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/reference"
	"github.com/containerd/containerd/remotes/docker"
	"github.com/containerd/stargz-snapshotter/fs"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/fs/layer"
	"github.com/containerd/stargz-snapshotter/fs/source"
	"github.com/containerd/stargz-snapshotter/snapshot"
	"google.golang.org/grpc"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: serve-stargz SOCKET ROOT")
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func serve(socket, root string) error {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	onDemand := config.Config{NoPrefetch: true, NoBackgroundFetch: true, NoPrometheus: true}
	filesystem, err := fs.NewFilesystem(
		filepath.Join(root, "stargz"),
		onDemand,
		fs.WithGetSources(source.FromDefaultLabels(registryHosts)),
		fs.WithOverlayOpaqueType(layer.OverlayOpaqueTrusted),
	)
	if err != nil {
		return err
	}
	snapshotter, err := snapshot.NewSnapshotter(context.Background(), filepath.Join(root, "snapshotter"), filesystem)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	go func() {
		<-ended.Done()
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		return err
	}
	return snapshotter.Close()
}

func registryHosts(image reference.Spec) ([]docker.RegistryHost, error) {
	// The library takes the transport out of the client, so that its default would not do.
	client := &http.Client{Transport: http.DefaultTransport}
	hosts := docker.ConfigureDefaultRegistries(docker.WithClient(client), docker.WithPlainHTTP(docker.MatchLocalhost))
	return hosts(image.Hostname())
}
