package packagingapi

// The types of kapp-controller v0.53.1 for what it serves. Of metadata, what servers set is left out.
var (
	name = object{"name": text}
	meta = structure{
		"name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text, "generation": number,
		"creationTimestamp": moment{}, "deletionGracePeriodSeconds": pointer{number}, "labels": table{text}, "annotations": table{text},
		"finalizers": list{text}, "ownerReferences": list{object{
			"apiVersion": required{text}, "kind": required{text}, "name": required{text}, "uid": required{text},
			"controller": pointer{boolean}, "blockOwnerDeletion": pointer{boolean},
		}},
	}
	versions    = object{"constraints": text}
	selection   = object{"semver": object{"constraints": text, "prereleases": object{"identifiers": list{text}}}}
	fileSource  = object{"directoryPath": text, "name": text}
	inline      = object{"paths": table{text}, "pathsFrom": list{object{"secretRef": fileSource, "configMapRef": fileSource}}}
	oneVersion  = object{"version": text}
	groups      = object{"groupVersions": list{text}}
	valueSource = object{"secretRef": name, "configMapRef": name, "path": text, "downwardAPI": object{"items": list{object{
		"name": text, "fieldPath": text, "kubernetesVersion": oneVersion, "kappControllerVersion": oneVersion, "kubernetesAPIs": groups,
	}}}}
	fetch = object{
		"inline": inline,
		"image":  object{"url": text, "tagSelection": selection, "secretRef": name, "subPath": text},
		"http":   object{"url": text, "sha256": text, "secretRef": name, "subPath": text},
		"git": object{"url": text, "ref": text, "refSelection": selection, "secretRef": name, "subPath": text,
			"lfsSkipSmudge": boolean, "forceHTTPBasicAuth": boolean},
		"helmChart":    object{"name": text, "version": text, "repository": object{"url": text, "secretRef": name}},
		"imgpkgBundle": object{"image": text, "tagSelection": selection, "secretRef": name},
		"path":         text,
	}
	keys = object{"privateKeysSecretRef": name}
	step = object{
		"ytt": object{"ignoreUnknownComments": boolean, "strict": boolean, "inline": inline, "paths": list{text}, "fileMarks": list{text},
			"valuesFrom": list{valueSource}},
		"kbld": object{"paths": list{text}},
		"helmTemplate": object{"name": text, "namespace": text, "path": text, "valuesFrom": list{valueSource}, "kubernetesVersion": oneVersion,
			"kubernetesAPIs": groups},
		"kustomize": object{}, "jsonnet": object{},
		"sops": object{"pgp": keys, "age": keys, "paths": list{text}},
		"cue":  object{"paths": list{text}, "valuesFrom": list{valueSource}, "inputExpression": text, "outputExpression": text},
	}
	options = object{"rawOptions": list{text}}
	app     = object{
		"serviceAccountName": text, "cluster": object{"namespace": text, "kubeconfigSecretRef": object{"name": text, "key": text}},
		"fetch": list{fetch}, "template": list{step},
		"deploy": list{object{"kapp": object{"intoNs": text, "mapNs": list{text}, "rawOptions": list{text}, "inspect": options, "delete": options}}},
		"paused": boolean, "canceled": boolean, "syncPeriod": period{}, "noopDelete": boolean, "defaultNamespace": text,
	}
	kinds = map[string]structure{
		"Package": {"apiVersion": text, "kind": text, "metadata": meta, "spec": structure{
			"refName": text, "version": text, "licenses": list{text}, "releasedAt": moment{}, "capacityRequirementsDescription": text, "releaseNotes": text,
			"template": structure{"spec": nullable{app}}, "valuesSchema": structure{"openAPIv3": raw{}},
			"includedSoftware":               list{object{"displayName": text, "version": text, "description": text}},
			"kappControllerVersionSelection": versions, "kubernetesVersionSelection": versions,
		}},
		"PackageMetadata": {"apiVersion": text, "kind": text, "metadata": meta, "spec": structure{
			"displayName": text, "longDescription": text, "shortDescription": text, "iconSVGBase64": text, "providerName": text,
			"maintainers": list{name}, "categories": list{text}, "supportDescription": text,
		}},
	}
)
