plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Each file has one noun; outputs and variables stand in theirs.
rule "terraform_standard_module_structure" {
  enabled = false
}
