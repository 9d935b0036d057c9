// Package engine opens the store of the catalog: etcd's own server inside this process, or an etcd cluster that runs
// elsewhere. Both are used through the same clientv3.Client; nothing else in Koine does consensus.
package engine
