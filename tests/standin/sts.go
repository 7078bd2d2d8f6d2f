package main

import (
	"io"
	"net/http"
)

// identity answers whoever asks who it is, as Terraform does. Account and
// partition are those of LocalStack.
func identity(w http.ResponseWriter, r *http.Request) {
	if action := r.FormValue("Action"); action != "GetCallerIdentity" {
		http.Error(w, "the stand-in does not know the operation "+action, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Arn>arn:aws:iam::000000000000:root</Arn><UserId>test</UserId><Account>000000000000</Account>`+
		`</GetCallerIdentityResult><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></GetCallerIdentityResponse>`)
}
